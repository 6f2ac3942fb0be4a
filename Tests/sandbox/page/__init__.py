"""The sandbox's page: a running sandbox, shown in a browser on the same machine."""
