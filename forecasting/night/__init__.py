"""A night: the plan, the five steps and the one runner.

It writes no page and sends nothing.
"""
