"""Trained networks are opened and asked: how good are they, what do they say of images?"""
