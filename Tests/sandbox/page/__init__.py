"""The sandbox's page: what a person sees of a running sandbox, served to a browser on the same machine."""
