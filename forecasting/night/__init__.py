"""A night: the plan, the rounds of requests, the five steps and the one runner; it writes no page and sends nothing."""
