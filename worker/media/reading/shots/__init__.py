"""What frames tell beside their times: where shots begin, which frames equal the one before, which is which.

Start reading at finder.py. From small grey thumbnails, in one pass; knows no files and no decoders.
"""
