"""The running parts: ingest, worker, dispatcher, gateway, and the embedded mode that holds all of them in one process."""
