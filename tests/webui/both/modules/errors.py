"""The host prints a hook's exception and goes on; a test can look at them here."""

reported, displayed = [], []


def report(message, exc_info=None):
    reported.append((message, exc_info))


def display(e, task):
    displayed.append(e)
