"""What users test with: the journey simulator, fakes, laws for adapters, real services.

`Simulation` runs a folder of journeys in virtual time. `fakes` are the providers, `services` a real Redis and Kafka,
`channel_laws` the tests of an adapter, `replay` a log applied again in memory.
"""

from orchestrator.testing.simulation import Send, Simulation

__all__ = ["Send", "Simulation"]
