"""Batched recurrent super-resolution of many streams on one device."""
