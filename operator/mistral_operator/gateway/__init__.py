"""The data-plane front door: the OpenAI API in front of JetStream. Imports nothing of the operator but `wire`."""
