"""The demo: a year of real purchases, customers whose answers are invented, and a screen that shows what happens.

purchases.py    the slice of Online Retail, read from csv.gz                              real
categories.py   which category a product belongs to, by a word in its description         invented
customers.py    who the customers are, which channel they prefer, how they answer         invented
events.py       orders and people as events, in the order of time: what a shop publishes  real and invented
screen.py       lines, progress, tables: what is shown while it runs
"""
