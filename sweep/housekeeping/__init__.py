"""What becomes of finished studies: moved folders are corrected, a study is packed into one file, weights that lost are removed."""
