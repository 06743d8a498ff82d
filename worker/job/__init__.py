"""What keeps the steps of a job going: the lease, inputs, previews, times. The steps are in steps/.

Start reading at runner.py. Joins media and engine, which know neither jobs nor each other.
"""
