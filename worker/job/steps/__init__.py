"""The steps of a video, of a picture and of an estimate, and what one segment hands to the next."""
