"""The ledger in SQL. Reads and writes take an open connection and never commit; the caller holds the transaction.

`migrate` and `lock` take the URL, and open and close their own transaction or lock.
"""
