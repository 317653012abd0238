"""Records of claims that were never measured."""


def claim_record(name: str, *, ok: bool = True, preset: str = "quick", statement: str = "It holds") -> dict:
    """A record with one check that has a verdict and one that has none."""
    return {
        "id": name,
        "statement": statement,
        "source": "a paper",
        "expected": {"|x|": "≤ 1", "y": "reported"},
        "measured": {"|x|": 0.123456 if ok else "nan", "y": 2.0},
        "verdicts": {"|x|": ok, "y": None},
        "ok": ok,
        "seconds": 12.3,
        "preset": preset,
    }
