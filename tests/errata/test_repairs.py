"""Tests of errata are about the errata: with the repaired layer in the place of the printed one, each of them fails."""

import pytest

from tests.errata import (
    channel_snippets,
    mlx_snippets,
    test_s0_mlx,
    test_s1_pytorch_thread,
    test_s2_channel_local,
    test_s3_twodfc,
    thread_snippets,
    twodfc_snippets,
)

MLX = {"Printed": mlx_snippets.Repaired, "PrintedImage": mlx_snippets.RepairedImage}
LOOP = {"Loop": thread_snippets.LoopRepaired}
MASKED = {"Masked": thread_snippets.MaskedRepaired}
TIED = {"Tied": thread_snippets.TiedRepaired}
CHANNELS = {"Printed": channel_snippets.Repaired}
TWODFC = dict.fromkeys(("Printed", "Printed2", "Printed3"), twodfc_snippets.Repaired)

REPAIRS = [
    (test_s0_mlx, "test_A1_scale_ignores_the_taps", (9,), MLX),
    (test_s0_mlx, "test_A3_any_shape_of_the_right_area_is_swallowed", (), MLX),
    (test_s0_mlx, "test_A3_windows_of_a_wrong_image_are_scattered", (), MLX),
    (test_s0_mlx, "test_A4_biases_of_three_shapes_make_three_models", (), MLX),
    (test_s0_mlx, "test_A8_the_batch_size_is_baked_into_a_shapeless_compilation", (), MLX),
    (test_s1_pytorch_thread, "test_B2_whatever_holds_four_numbers_is_one_sample", ((2, 2),), LOOP),
    (test_s1_pytorch_thread, "test_B3_float64_is_rounded_to_float32", (), LOOP),
    (test_s1_pytorch_thread, "test_B3_gradients_autocast_and_vmap_follow_the_buffer", (), LOOP),
    (test_s1_pytorch_thread, "test_B4_in_place_writes_make_backward_quadratic", (), LOOP),
    (test_s1_pytorch_thread, "test_B5_pruning_in_every_call_changes_the_module", (), MASKED),
    (test_s1_pytorch_thread, "test_B6_initial_weights_have_the_scale_of_the_dense_layer", (), MASKED),
    (test_s1_pytorch_thread, "test_B7_one_bad_input_poisons_all_blocks", (), MASKED | {"MaskedRepaired": LOOP["Loop"]}),
    (test_s1_pytorch_thread, "test_B8_hidden_weights_count_and_revive", (), MASKED),
    (test_s1_pytorch_thread, "test_B9_blocks_are_interleaved", (), TIED),
    (test_s1_pytorch_thread, "test_B10_the_posted_shape_needs_as_many_outputs_as_inputs", (), TIED),
    (
        test_s1_pytorch_thread,
        "test_B12_squeeze_drops_the_batch_and_the_only_output",
        (1, 2),
        {"Grouped": thread_snippets.GroupedRepaired},
    ),
    (
        test_s2_channel_local,
        "test_C2_it_runs_for_one_sample_and_one_group_and_is_then_a_dense_convolution",
        (),
        CHANNELS,
    ),
    (
        test_s2_channel_local,
        "test_C3_filters_of_one_output_together_meet_the_wrong_samples",
        (1,),
        {"ShapeRepaired": channel_snippets.OrderRepaired},
    ),
    (test_s2_channel_local, "test_C4_even_kernels_grow_the_map", (2, 1), CHANNELS),
    (test_s2_channel_local, "test_C9_initial_outputs_are_larger_the_more_inputs_there_are", (), CHANNELS),
    (test_s2_channel_local, "test_C10_groups_that_do_not_divide_are_accepted", (), CHANNELS),
    (test_s3_twodfc, "test_D1_numpy_is_not_imported_and_a_size_must_be_a_tuple", (), TWODFC),
    (test_s3_twodfc, "test_D3_other_shapes_are_swallowed", ((3, 1, 28, 28), (3, 28, 10)), TWODFC),
    (test_s3_twodfc, "test_D3_sizes_of_other_ranks_are_swallowed", (), TWODFC),
    (test_s3_twodfc, "test_D4_a_product_of_all_samples_pixels_and_outputs_is_built", (), TWODFC),
    (test_s3_twodfc, "test_D6_the_scale_of_the_weights_is_the_cause_and_not_the_missing_bias", (), TWODFC),
]


@pytest.mark.parametrize(
    ("module", "name", "arguments", "repaired"), REPAIRS, ids=[name.split("_")[1] for _, name, _, _ in REPAIRS]
)
def test_the_test_fails_on_the_repaired_layer(module, name, arguments, repaired, monkeypatch):
    test = getattr(module, name)
    test(*arguments)
    for printed, layer in repaired.items():
        monkeypatch.setattr(module, printed, layer, raising=False)
    with pytest.raises((AssertionError, ValueError, KeyError)):
        test(*arguments)
