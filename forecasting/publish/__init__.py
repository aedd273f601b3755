"""What people get from the ledger: pages, messages, alerts, exports."""
