"""Figure 1: which networks are drawn, to which scale, and that its texts can be read."""

import itertools
import json

from matplotlib.backends.backend_agg import FigureCanvasAgg

from colorize.report import diagram, style


def test_models_that_differ_only_in_the_loss_share_a_drawing(make_run):
    found = diagram.distinct_architectures(make_run().inputs)
    assert [models for _, models in found] == [["regression"], ["cnn", "cnn_weighted"], ["unet", "unet_weighted"]]


def test_slabs_follow_channels_and_size(make_run):
    (layers, _), *_ = diagram.distinct_architectures(make_run(models=["cnn"]).inputs)
    groups = diagram.arrange_blocks(layers)
    assert [group.name for group in groups] == ["L", "block1", "block2", "block3", "head", "ab"]
    assert [[slab.label for slab in group.slabs] for group in groups] == [
        ["1"], ["4", "4", ""], ["8", ""], ["4", ""], ["313"], ["2"],
    ]  # fmt: skip
    block1, block2 = groups[1].slabs, groups[2].slabs
    assert block1[0].height == diagram.HEIGHT > block2[0].height
    assert block1[0].width < block2[0].width
    assert all(left.right < right.left for left, right in itertools.pairwise(groups))


def test_parameters_width_and_output_are_named(make_run):
    found = diagram.distinct_architectures(make_run(models=["regression", "cnn", "cnn_weighted"]).inputs)
    assert [diagram.network_subtitle(layers, models) for layers, models in found] == [
        "1,234 parameters at width 0.25, output: 2 ab channels per pixel",
        "1,234 parameters at width 0.25, output: 313 ab bins per pixel; these models differ only in the loss",
    ]


def test_no_two_texts_overlap(make_run):
    run = make_run()
    path = run.root / "data" / "histories" / "objects-unet-0" / "layers.json"
    layers = json.loads(path.read_text())
    for block in layers["blocks"]:  # the paper's widest labels
        block["convolutions"] = [[512, 512]] * 3
    path.write_text(json.dumps(layers))
    figure = diagram.plot_networks(run.inputs)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    boxes = [(text.get_text(), text.get_window_extent(canvas.get_renderer())) for text in figure.axes[0].texts]
    boxes = [(text, box) for text, box in boxes if text]
    assert len(boxes) > 40
    overlaps = [(a, b) for (a, x), (b, y) in itertools.combinations(boxes, 2) if x.overlaps(y)]
    assert overlaps == []


def test_all_texts_lie_inside_the_figure(make_run):
    figure = diagram.plot_networks(make_run().inputs)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    width, height = canvas.get_width_height()
    boxes = [text.get_window_extent(canvas.get_renderer()) for text in figure.axes[0].texts if text.get_text()]
    assert min(min(box.x0, box.y0) for box in boxes) >= 0
    assert max(box.x1 for box in boxes) <= width
    assert max(box.y1 for box in boxes) <= height


def test_the_papers_unet_is_not_wider_than_the_text_of_a_paper(make_run):
    run = make_run(("a",), ("unet",))
    path = run.root / "data" / "histories" / "a-unet-0" / "layers.json"
    layers = json.loads(path.read_text())
    convolutions = [[64] * 2, [128] * 2, [256] * 3, [512] * 3, [512] * 3, [256] * 2, [128] * 2, [64] * 2, [313]]
    names = [*(f"block{i}" for i in range(1, 9)), "head"]
    layers["blocks"] = [
        {"name": name, "convolutions": [[1, n] for n in channels], "out_channels": channels[-1], "size": 8,
         "parameters": 1, "batch_norm": name != "head"}
        for name, channels in zip(names, convolutions, strict=True)
    ]  # fmt: skip
    path.write_text(json.dumps(layers))
    assert diagram.plot_networks(run.inputs).get_figwidth() == style.TEXT_WIDTH
