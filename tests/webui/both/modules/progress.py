"""As in the hosts: which job is at work, by the id that the page or the API gave it, and how far it is."""

from modules import shared

current_task = None


def start_task(id_task):
    global current_task
    current_task = id_task


def finish_task(id_task):
    global current_task
    if current_task == id_task:
        current_task = None


def progressapi(req=None):
    """Both hosts' progress.py, its bar alone."""
    job_count, job_no = shared.state.job_count, shared.state.job_no
    sampling_steps, sampling_step = shared.state.sampling_steps, shared.state.sampling_step
    progress = 0
    if job_count > 0:
        progress += job_no / job_count
    if sampling_steps > 0 and job_count > 0:
        progress += 1 / job_count * sampling_step / sampling_steps
    return min(progress, 1)
