"""Tools as people and language models write them, by kind; ``test_honest_tools`` runs each in plain Python and in a sandbox."""
