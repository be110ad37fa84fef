"""What Python programs call; the commands are thin over it. Nothing here imports Ray or torch before it is needed."""
