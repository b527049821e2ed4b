"""The running parts: ingest, worker, dispatcher, gateway, and the embedded mode that runs all in one process."""
