"""What people and programs meet: settings, accordion, cost, presets, infotext, XYZ axes, API, plot."""
