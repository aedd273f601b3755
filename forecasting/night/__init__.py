"""A night: the plan, the rounds of requests, the five steps and the one runner.

It writes no page and sends nothing.
"""
