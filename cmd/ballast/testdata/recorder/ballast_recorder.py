"""In place of docs/guides/ballast_recorder.py: records nothing."""


class Recorder:
    def __init__(self, *args, **options):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def epoch(self, *args, **options):
        pass

    twice = fingerprint = finish = epoch
