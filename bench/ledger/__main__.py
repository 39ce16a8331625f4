"""``python -m bench.ledger``: of each step DynamoDB's units by table, and every call, to see where units come from."""

from collections.abc import Mapping

from bench.ledger.deployment import deployed
from bench.ledger.steps import steps


def main() -> None:
    """Do everything once, and print it."""
    with deployed() as deployment:
        for name, step in steps(deployment).items():
            taken = step.taken
            tables = {f"{table} {kind}": units for (table, kind), units in taken.tables.items()}
            print(f"{name}: {step.what}")
            for what, counts in (("units", taken.units), ("tables", tables), ("calls", taken.calls)):
                print(f"  {what:<7} {_told(counts)}")


def _told(counts: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {count:g}" for name, count in sorted(counts.items())) or "none"


if __name__ == "__main__":
    main()
