"""What Centrifugo's JavaScript client gets of what is published: gaps, disorder, repeats (docs/adr/0025, "Order")."""
