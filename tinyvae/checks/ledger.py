"""The ledger's pages: every formula and claim of the lecture, each with its tag and one sentence that can be checked.

A tag ending in E corrects the lecture; its sentence states the corrected form.
"""

TAGS = {
    # Autoencoders and PCA
    "AE.1": "An encoder f: Rⁿ → Rᵈ followed by a decoder g: Rᵈ → Rⁿ, with d < n, reconstructs x as x̂ = g(f(x))",
    "AE.2": "Descending the gradient of ‖x − g(f(x))‖² in every parameter of f and g trains the pair",
    "PCA.1": "‖x − W Wᵀx‖² is the loss of a linear autoencoder whose decoder is the transpose of its encoder",
    "PCA.2": "The left singular vectors of an optimal W span the d leading eigenvectors of the data's covariance",
    "PCA.3": "An optimal W has orthonormal columns; any d eigenvectors as columns give a zero gradient, "
             "and a saddle unless they are the leading ones (distinct eigenvalues)",
    "PCA.E": "Centring is part of PCA: on raw data the same loss leads to the subspace of E[x xᵀ]",
    "NL.1": "With x̂ = tanh(W tanh(Wᵀx)) the gradient in the shared W is an encoder part plus a decoder part",
    "NL.1E": "A tanh output stays inside (−1, 1), so an entry with |x| ≥ 1 always costs more than (|x| − 1)²",
    "NL.2": "At any depth the chain rule, from the last layer to the first, gives the gradient of every weight",
    "NL.3": "The code f(x) can be drawn, and can stand in for x as the input of a softmax or hinge-loss classifier",
    "NL.3E": "The classifier's input is the encoder applied to data, f(x) ∈ Rᵈ; a code h ∈ Rᵈ does not fit into f",

    # Penalties on the code
    "SP.1": "Adding λ Σᵢ |hᵢ| to the loss adds λ sign(hᵢ) to its derivative by hᵢ ≠ 0, and all of [−λ, λ] at hᵢ = 0",
    "SP.2": "An absolute-value penalty sets small code entries exactly to zero: "
            "for orthonormal W the best code is Wᵀx soft-thresholded at λ/2",
    "SP.E": "Where scaling f by a is undone by scaling a free decoder by 1/a, "
            "a → 0 keeps x̂ and drives the penalty to zero",
    "DN.1": "A denoising autoencoder encodes a corrupted copy x̃ and is charged for its distance to the clean x",
    "DN.2": "The best denoiser r of Gaussian noise of variance σ² follows the score of the noisy density p_σ: "
            "r(x̃) − x̃ = σ² ∇log p_σ(x̃)",
    "CT.1": "A contractive autoencoder pays λ times the sum of the squared entries of the encoder's Jacobian J = ∂h/∂x",
    "CT.2": "Gaussian noise of variance σ² on x moves h by σ²‖J‖²_F in mean square, up to terms of order σ⁴",
    "CT.3": "At equal reconstruction the penalty weakens the encoder's response to x more off the data than along it",

    # Latent variable models
    "LV.1": "A draw of x from p(x|z), with z first drawn from the prior, has the marginal density ∫ p(x|z) p(z) dz",
    "LV.2": "The mean of p(x|z) over prior draws tends to p(x); the mean of p(x, z) would tend to ∫ p(x|z) p(z)² dz",
    "LV.3": "An affine map x = Az + b keeps a Gaussian Gaussian, with mean Aν + b and covariance AΛAᵀ for z ~ N(ν, Λ)",
    "LV.4": "If L Lᵀ = Σ and z is standard normal, μ + Lz has the law N(μ, Σ); the Cholesky factor is one such L",
    "LV.5": "A standard normal prior restricts nothing when the map is flexible: "
            "F⁻¹(Φ(z)) has the distribution function F",
    "LV.6": "Gaussians x|z whose mean and covariance are networks of z mix into a law of x that in general is none",
    "LV.7": "The likelihood of data is a product of integrals over z, solvable when maps are linear and noise Gaussian",
    "LV.8": "Estimated from prior draws, p(x) has a relative variance that grows exponentially with the dimension",
    "LV.9": "p(x|z) p(z) / p(z|x) takes one and the same value, p(x), wherever the posterior density is positive",

    # Kullback–Leibler divergence
    "KL.1": "KL(q‖p) is the mean of log q − log p under q: cross-entropy minus entropy, infinite if q > 0 where p = 0",
    "KL.2": "KL is not symmetric: exchanging q and p changes its value in general",
    "KL.3": "No pair of distributions has a negative KL",
    "KL.4": "KL(q‖p) vanishes exactly when q and p agree almost everywhere",
    "KL.5": "Between Gaussians in d dimensions KL = ½ [tr(Σ₁⁻¹Σ₀) + δᵀΣ₁⁻¹δ − d + log det Σ₁ − log det Σ₀], "
            "δ = μ₁ − μ₀",

    # The evidence lower bound
    "EL.0": "log p(x) is a constant in z, hence equal to its own mean under q(z|x)",
    "EL.a": "By Bayes' rule the mean of log p(x) under q is the mean of log [p(x|z) p(z) / p(z|x)]",
    "EL.b": "A factor q(z|x) / q(z|x) inside that logarithm does not change the mean",
    "EL.c": "That mean is the sum of three: of log p(x|z), of log [p(z) / q(z|x)] and of log [q(z|x) / p(z|x)]",
    "EL.d": "The last two means are −KL(q(z|x) ‖ p(z)) and KL(q(z|x) ‖ p(z|x))",
    "EL.1": "The ELBO never exceeds log p(x), and falls short of it by exactly KL(q(z|x) ‖ p(z|x))",
    "EL.2": "One z for each row of a random minibatch estimates the mean of log p(x|z), and its gradient, without bias",
    "EL.3": "The ELBO's KL term needs no sampling: ½ Σₖ (μₖ² + σₖ² − 1 − log σₖ²) for a diagonal q and prior N(0, I)",
    "EL.E": "With the prior N(0, I) the ELBO's KL term depends on the encoder's φ alone; its gradient in θ is zero",

    # The reparameterization trick
    "RP.1": "z = μ + Lε, with ε standard normal and L Lᵀ = Σ, has the law q(z|x) = N(μ, Σ), "
            "with the Σ that KL and log q use",
    "RP.2": "At fixed ε, z = μ + Lε is differentiable in μ and L, "
            "and its mean derivative over ε is that of the integral over z",
    "RP.3": "The ELBO's pathwise gradient has a smaller variance than its score-function gradient, "
            "the more so in high dimension",

    # Optimisation, and what is learned
    "OP.1": "The chain rule gives the gradient of the ELBO in every decoder parameter θ and encoder parameter φ",
    "OP.2": "Gradient ascent on a linear-Gaussian VAE's ELBO arrives at the maximum likelihood of probabilistic PCA",
    "GM.1": "Decoded prior draws are closer to held-out data than draws from a Gaussian or probabilistic PCA model",
    "GM.2": "Codes of a plain autoencoder have no law to draw from, those of a VAE do: "
            "its decoded draws are closer to data",
    "GM.E": "The encoder learns q(z|x), an approximation that in general differs from the model's posterior p(z|x)",

    # Caveats
    "CV.1": "What is maximised lies below log p(x); averaging S importance weights closes the gap as S grows",
    "CV.2": "A step can raise the ELBO and lower log p(x), by closing the gap between them",
    "CV.3": "A restricted q can hold the ELBO's maximiser away from the true parameters, however much data there is",
    "CV.4": "Images from a VAE are blurred: more mid-grey pixels and less high-frequency energy than the data has",
}
