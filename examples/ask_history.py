"""Ask the embedded history a question in SQL, while no daemon runs.

    python examples/ask_history.py "SELECT count() FROM trade"
    python examples/ask_history.py - < question.sql
"""

from __future__ import annotations

import argparse
import sys

from ctcore.config.secrets import Secret
from ctcore.errors import CtcoreError
from ctcore.sinks.client import connect
from ctcore.sinks.config import ClickHouseConfig


def main() -> None:
    """Print the answer, one row a line, columns parted by tabs."""
    parser = argparse.ArgumentParser(description="Ask history a question in SQL.")
    parser.add_argument("sql", help="the question; - reads it from standard input")
    parser.add_argument("--url", default="chdb:data/history", help="as in the configuration")
    parser.add_argument("--database", default="crypto")
    parser.add_argument("--username", default="default")
    parser.add_argument("--password", default="")
    given = parser.parse_args()
    sql = sys.stdin.read() if given.sql == "-" else given.sql
    config = ClickHouseConfig(url=given.url, username=given.username, password=Secret(given.password))
    try:
        client = connect(config)
        client.use(given.database)
        for row in client.rows(sql):
            print(*row, sep="\t")
        client.close()
    except CtcoreError as error:
        sys.exit(f"ask_history: {error}")


if __name__ == "__main__":
    main()
