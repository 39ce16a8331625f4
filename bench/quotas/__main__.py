"""``python -m bench.quotas``: the tables of docs/quotas.md, some seconds."""

import sys

from bench.quotas.tables import schedule_table, share_table

if __name__ == "__main__":
    sys.stdout.write(f"{share_table()}\n\n{schedule_table()}\n")
