"""Model, tokenizer, renderer, optimizer and generation shared by training and evaluation."""
