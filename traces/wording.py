"""Numbers in sentences."""


def counted(number: int, noun: str) -> str:
    """A number with its noun, which gets an s unless there is one of it; thousands are separated.

    Examples
    --------
    >>> counted(1, "shared prompt"), counted(1200, "call")
    ('1 shared prompt', '1,200 calls')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
