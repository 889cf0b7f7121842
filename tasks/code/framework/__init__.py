"""The folder of `postern`, a small fictional web framework; its documentation is `postern.md`."""
