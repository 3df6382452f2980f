"""The host's cond objects: what prompts are, once they are encoded."""

import torch
from modules import prompt_parser


def multicond(batch):
    """The host's cond object of [(schedules, weight), ...] for each picture."""
    part = prompt_parser.ComposableScheduledPromptConditioning
    return prompt_parser.MulticondLearnedConditioning(
        shape=(len(batch),), batch=[[part(schedules, weight) for schedules, weight in parts] for parts in batch]
    )


def only_uncond(uncond):
    """An uncond in the place of the cond: at CFG 1 its rows are then the only ones evaluated."""
    return multicond([[(schedules, 1.0)] for schedules in uncond])


def of_one_length(uncond):
    """The uncond with the prompts of all pictures as long as the longest: the host stacks those of a batch. Its prompts
    it fills up with their last vector (prompt_parser.stack_conds), and so are these: a negative prompt is the same rows
    as the same text in the prompt's place. Its negative prompts it expects to be of one length."""
    longest = max(len(_tokens(s.cond)) for schedules in uncond for s in schedules)
    return [[s._replace(cond=_filled_up(s.cond, longest)) for s in schedules] for schedules in uncond]


def _tokens(cond):
    """[tokens, width]; some models have more than these in a cond."""
    return cond["crossattn"] if isinstance(cond, dict) else cond


def _filled_up(cond, length: int):
    tokens = _tokens(cond)
    if len(tokens) == length:
        return cond
    longer = torch.cat([tokens, tokens[-1:].expand(length - len(tokens), *tokens.shape[1:])])
    return {**cond, "crossattn": longer} if isinstance(cond, dict) else longer
