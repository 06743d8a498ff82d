"""Where uploads, parts, results and checkpoints lie: files or S3 behind one protocol."""
