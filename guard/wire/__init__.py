"""Sans-io syntax: bytes to events, commands to bytes. Nothing here opens a socket or keeps a clock."""
