"""The ledger in SQL. Reads and writes take an open connection and never commit.

The caller holds the transaction.
"""
