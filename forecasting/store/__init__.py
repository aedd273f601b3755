"""The ledger in SQL. Reads and writes take an open connection and never commit; the caller holds the transaction."""
