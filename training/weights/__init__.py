"""What becomes of a training: where weights begin, are averaged, kept, described and published.

Nothing in data, degradations or losses imports it.
"""
