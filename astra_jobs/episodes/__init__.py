"""The agent loop, tool execution and the reward; used by chains, rl and evaluation (SPEC 5). No torch."""
