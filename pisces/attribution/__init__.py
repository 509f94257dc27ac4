"""Attribution: which pixels a prediction depends on, by known methods, and how far to trust them.

`compare` is the entry, called by the stage `attribute`. It takes these steps:

- `methods`: attribution maps, with `head` (what captum explains), `gradcam_layers` and `rise`;
- `explained_model`: the model, and batches of frames with its predictions;
- `method_measures`: every method on the scales of `faithfulness`, the field's measures;
- `sanity`: maps and `mask_drops` of PIS against the control models of `controls`;
- `examples`: frames for the pictures.
"""
