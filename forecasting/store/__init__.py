"""The ledger in SQL. Functions take an open connection and never commit; the caller holds the transaction."""
