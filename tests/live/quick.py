"""`make live QUICK=1`: of each file the test that says most, once on each host. For every commit."""

from pathlib import Path

# file -> test, or (test, what its parameters' id has to contain)
MOST_TELLING = {
    "test_architecture": ("test_two_architectures", "sdxl against sd15"),
    "test_checkpoint": "test_every_call_weak_is_the_weak_checkpoints_own_picture",
    "test_checkpoint_files": "test_refused_files",
    "test_choosing": "test_the_better_one_leads",
    "test_comfy": "test_every_way_is_drawn_and_the_two_nodes_agree",
    "test_comfy_emoji": ("test_pictures_are_the_labs", "previous-gap-checkpoint"),
    "test_comfy_families": ("test_a_gap_of_a_family", "SD3-checkpoint"),
    "test_comfy_guidance": "test_any_two_guiders",
    "test_comfy_ip_adapter": ("test_the_model_without_it_is_the_weak_side", "all of it"),
    "test_company": ("test_company", "ControlNet, reference only"),
    "test_distilled": "test_gap_against_the_hosts_own_scale",
    "test_distribution": "test_comparison",
    "test_doors": "test_others_are_answered_meanwhile",
    "test_emoji": ("test_pictures_and_scores_are_the_labs", "checkpoint gap"),
    "test_endurance": "test_four_clients_at_once",
    "test_engine": "test_no_gap_is_the_plain_picture",
    "test_evaluate": "test_it_draws_pairs_and_says_which_is_brighter",
    "test_families": "test_checkpoint_alone",
    "test_faults": "test_interrupt_in_a_reflection",
    "test_lora": "test_a_weak_scale_is_the_hosts_own_at_that_scale",
    "test_memories": ("test_a_memory_beside_every_way", "cache"),
    "test_page": "test_tick_and_generate",
    "test_page_accordion": "test_cost_follows_the_page_and_is_what_the_run_takes",
    "test_page_promises": "test_the_preset_in_force_is_named_and_no_other",
    "test_passes": "test_hires_of_its_own",
    "test_pipeline": "test_one_unit_of_two",
    "test_progress": "test_progress_is_the_share_of_the_rows",
    "test_prompts": "test_a_weak_prompt_is_encoded_as_the_host_encodes_it",
    "test_requests": "test_no_path_is_read_outside_the_models_folders",
    "test_samplers": "test_every_sampler_in_every_pass",
    "test_scripts": "test_a_comparison_changes_nothing_of_what_a_script_gives",
    "test_standin": "test_standin_takes_the_same_parameters",
    "test_storage": "test_gguf",
    "test_study": "test_its_pictures_are_the_webuis_own_and_are_drawn_once",
    "test_surfaces": "test_object_and_positional_arguments_are_the_same",
    "test_sweep": None,  # one test of everything: not quick
    "test_tables": "test_rows_and_columns_come_in_the_order_of_their_first_cell",
    "test_texts": "test_comments",
    "test_video": "test_table_12",
    "test_wan": "test_checkpoint_alone_and_as_in_table_12",
    "test_ways": "test_rounds_and_which_steps",
    "test_weights_together": "test_all_gaps_at_once",
}


def most_telling(items: list) -> list:
    """Those of a collection: one of each file and host."""
    kept = {}
    for item in items:
        wanted = MOST_TELLING.get(Path(item.path).stem)
        name, part = wanted if isinstance(wanted, tuple) else (wanted, "")
        params = getattr(getattr(item, "callspec", None), "params", {})
        if item.nodeid.partition("[")[0].rpartition("::")[2] == name and part in item.name:
            kept.setdefault((item.path, str(params.get("webui") or params.get("host"))), item)
    return list(kept.values())
