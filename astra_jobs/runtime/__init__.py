"""The astra-job program: fetch, run, commit, answer."""
