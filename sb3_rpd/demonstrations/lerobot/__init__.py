"""Data sets in the layout of LeRobot v3.0: Parquet tables and MP4 files, without the library itself."""
