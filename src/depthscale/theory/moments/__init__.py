"""What is known of values: their second moments (`forward`, `backward`), what an activation
receives (`laws`), and expectations of activations under a law, in closed form or by quadrature
(`expectations`) or sampled with their error (`sampled_expectations`)."""
