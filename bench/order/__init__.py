"""What Centrifugo's JavaScript client gets of what is published: gaps, disorder, repeats (docs/adr/0024, "Order")."""
