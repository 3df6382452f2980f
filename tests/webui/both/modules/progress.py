"""As in the hosts: which job is at work, by the id that the page or the API gave it."""

current_task = None


def start_task(id_task):
    global current_task
    current_task = id_task


def finish_task(id_task):
    global current_task
    if current_task == id_task:
        current_task = None
