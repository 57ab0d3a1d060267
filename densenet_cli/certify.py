"""densenet certify (placeholder while wiring)."""


def certify() -> None:
    """x"""
