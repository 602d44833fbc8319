"""Where model text comes from: an HTTP upstream, a model in this process, two of them, or a recording."""
