"""From a template to an image and its artefacts."""
