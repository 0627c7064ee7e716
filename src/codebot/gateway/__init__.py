"""What a box may reach: the model gateway, and the scripted upstream of the demo and the tests."""
