"""Whether containers can be had here."""

from __future__ import annotations


def docker_runs() -> bool:
    """Whether a Docker engine answers at once and testcontainers is installed."""
    try:
        import docker  # type: ignore[import-untyped]
        import testcontainers.core.container  # noqa: F401 - only whether it is there
    except ImportError:
        return False
    try:
        client = docker.from_env(timeout=2)
    except Exception:
        # No socket, no permission, a wrong DOCKER_HOST: each in another exception of its own.
        return False
    try:
        return bool(client.ping())
    except Exception:
        return False
    finally:
        client.close()
