//! Keys, requests and signatures over `pod-uid` that OpenSSL made; the keys are nobody's.

use super::*;
use serde_json::json;

const RSA_KEY: &str = "MIIBojANBgkqhkiG9w0BAQEFAAOCAY8AMIIBigKCAYEAtf2e963ZBlqdgUXinq+gHx68DUCC18BdhXYxbMwcg/YITDeLGF3PAvlvkORj9KUk4coDDs9GCLHfTDJN1FINfM/JQJL0q7Y5DfKYSxxaF2FZGUFtOPg05RXjSAv4RKRbMzm0PEoSIzgcPhSVVe5zgEqtwImBmjlRMoaGcGDcaIPf5hzSnVlcRMNfTzkgPZaX1CqbNZ6x1gDrMP709GKB6oiogRhKeaPmjZLRSLkCKx366mOnc6ITHxn1uglsVMl7KCqeKtOWh+7PQr2rLNActOEqmOm943UXr450mG9yXnI90vd98yUpGw8LBUr60C1ubrILs0TvH90b3BlqdznxUCM6wsEQyg0Jh8/gZsp4pRUZAwGR4d1Rzr68tmnLUSCTNXFJWyt5h2uab+7zhOpPVrMoz1L9/ek/0HLyr6sIvwyS1n4BflK0eRlwxlAHUp8xYC+7oOLeOZOTjAYaVP9P+dtQrwnY8KnicAXdSe0JVY2Kps7Bj2JmvKdaRwK7GYqNAgMBAAE=";
const RSA_2048_KEY: &str = "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAzU+SSPzYtCbIV92gHZAilss0uAX9xLSnCGtHYWzvnpHahcrIze2TBS0ynBRksBSwf1ktOwJuTTh9cOXFUoWgvZ3dKljJPS9qoY3wjxWQOE7ko3geCSH6i14T46Zi4Y2QtOhYOSTfbTFQqTOybOvyu3P3e50alWL1Oaz4HFN6Eb8NrOtmUB/1FOhttolv02XX4708EobvQasyD09cJM6wV9c0kwQEbUIxhVIyNodk4MCqlpSWhXEhoBWcL5/0U4OM6W6Z5O+D2Sn6H4Z/oVDHdq1O/G+Sb44Z+F1pzjwPd3daaomXi2eDqJ3MaIV0kcXUAsB/Wzhi30QB2JfkTjK9EwIDAQAB";
const ED25519_KEY: &str = "MCowBQYDK2VwAyEAD3yBrp+ZvkT0Pq5RmlBaPcb09hKgsTUooZe24fDOXM4=";
const P256_KEY: &str = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE+HB1WflWD9DM+/mUTukdQ6bubkCdYojE0yGh7XiQm9cV9hjnGIIcpVQOlg8eEljxNISBrOa+XSgmp6fjJeAqdQ==";
const P384_KEY: &str = "MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAE7INiieej/pj3EH+qqem6blDA19kJVc2lYGdkzAvniePodnF7AXJttD3YcVuGbi+1Q4/PlqV7zRsYKLq1bOHQG982KuxPt8p8UgXKm7MzJuvhpzSzzldVAf4XdQbxiyVy";
const P521_KEY: &str = "MIGbMBAGByqGSM49AgEGBSuBBAAjA4GGAAQBoLsiZsptPZTkzbVL/+z/VhoTYcIaTkXMG/tVgYrCG4dzWzdazSbJjlsv4XthdqgIcsAw7Mcz6pOmLuQuWaimMhIBtIOFY8bYm2+P1tSyZA338ld3jPg/sL63Ub3oPKdUHWRfNl6I3XmYuec2Ag3zpkIhUhLB1CCoqz5laEFW9y7ZSh0=";
const P224_KEY: &str =
    "ME4wEAYHKoZIzj0CAQYFK4EEACEDOgAE4f9ba0TptDpsV3v830/ffOCBWS+aaVF6d45HsPR+xE6d3eMXq6ruBqehR7y5n4oymSrDkMY7z6A=";
const RSA_REQUEST: &str = "MIIDRTCCAa0CAQAwADCCAaIwDQYJKoZIhvcNAQEBBQADggGPADCCAYoCggGBALX9nvet2QZanYFF4p6voB8evA1AgtfAXYV2MWzMHIP2CEw3ixhdzwL5b5DkY/SlJOHKAw7PRgix30wyTdRSDXzPyUCS9Ku2OQ3ymEscWhdhWRlBbTj4NOUV40gL+ESkWzM5tDxKEiM4HD4UlVXuc4BKrcCJgZo5UTKGhnBg3GiD3+Yc0p1ZXETDX085ID2Wl9QqmzWesdYA6zD+9PRigeqIqIEYSnmj5o2S0Ui5Aisd+upjp3OiEx8Z9boJbFTJeygqnirTlofuz0K9qyzQHLThKpjpveN1F6+OdJhvcl5yPdL3ffMlKRsPCwVK+tAtbm6yC7NE7x/dG9wZanc58VAjOsLBEMoNCYfP4GbKeKUVGQMBkeHdUc6+vLZpy1EgkzVxSVsreYdrmm/u84TqT1azKM9S/f3pP9By8q+rCL8MktZ+AX5StHkZcMZQB1KfMWAvu6Di3jmTk4wGGlT/T/nbUK8J2PCp4nAF3UntCVWNiqbOwY9iZrynWkcCuxmKjQIDAQABoAAwDQYJKoZIhvcNAQELBQADggGBAH36GqVGvwnC7gQI7OS5ukyae05cVS6nUiYvl3QkfxmfqvPe5arHe2twUL+ySUKcWe6OpZo56RXor2xwl0aLk14bUOTkpVmuNxknhLz0IbaAeZy4hXrAg55+6Sws8G35wkHehtVs203Hckebdl5yUp+Cqpt4CBKZ0iAbajLTCPHsbes4jC3kuw23qWLUTHlDuW3lZFryTtuRW0SCJYeshOlD7RQiU+8gLc67DQszlPMD0hw4AYTnJuuUJ8pauL2iKL+CWCtOlaodvS2MdqUWPDm5LiVOfzL2KNjOftS+VU3O28rD8BbuXQ5bGO2HjBJ0TAIKA5yZo/Fau+pz2uxpFEsyKNivxPJ9pbeYgdETsrXcieO1RxMdDGr3Qal8H3PdXMTKTfRNA9xBVm6hVBIAlE99rIwfOzYMLtlzL/9VIROds9eWFtCLjzC//b/pJRTqgyV0wF0vffGrU+hLP51n6Eq909AL6O4YfCDKS4x2PxcDM+RduyWspTyDebGUUB4DvQ==";
const RSA_2048_REQUEST: &str = "MIICRTCCAS0CAQAwADCCASIwDQYJKoZIhvcNAQEBBQADggEPADCCAQoCggEBAM1Pkkj82LQmyFfdoB2QIpbLNLgF/cS0pwhrR2Fs756R2oXKyM3tkwUtMpwUZLAUsH9ZLTsCbk04fXDlxVKFoL2d3SpYyT0vaqGN8I8VkDhO5KN4Hgkh+oteE+OmYuGNkLToWDkk320xUKkzsmzr8rtz93udGpVi9Tms+BxTehG/DazrZlAf9RTobbaJb9Nl1+O9PBKG70GrMg9PXCTOsFfXNJMEBG1CMYVSMjaHZODAqpaUloVxIaAVnC+f9FODjOlumeTvg9kp+h+Gf6FQx3atTvxvkm+OGfhdac48D3d3WmqJl4tng6idzGiFdJHF1ALAf1s4Yt9EAdiX5E4yvRMCAwEAAaAAMA0GCSqGSIb3DQEBCwUAA4IBAQC9O8jQ4o7gIgOEu0nZ8smNz/tKbpAwvBF7z/8z8y79PCoqT6eEacxb+KEnS+k8uWF7McE2owWEfWgWD3Qp0ohGoCrK7vRFQFyp/GizoSw76UmmOAj7Y7K+fmKeN1WAAMWIId/NUsGe07myj9KCeom/zSy0VETP98nH1n+HFajTQFRKmF5ogOteLyiSwoq9hwbtsZfG67IWzBQzhYqWZOGVkPTb4NoU0xJ7FMdcDWNL4BQUbCmhAbOvns/1T0onuCBgxI+j0yumIqq9Gac5J/nt2QQwcH+HuwWE0HsYF6gsmD92sNqZUM30j6bFEA8ihVmB4mqQiHUYftliasVfoE4H";
const ED25519_REQUEST: &str = "MH8wMwIBADAAMCowBQYDK2VwAyEAD3yBrp+ZvkT0Pq5RmlBaPcb09hKgsTUooZe24fDOXM6gADAFBgMrZXADQQA1c02WCbkpWNtExwO00gkgX/xKnPhgFjMBFT75kGmstKcb1dzVdU+ZMDNdIi4pIelnHrEgOPOXdFjyIlznIAcG";
const P256_REQUEST: &str = "MIG5MGICAQAwADBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABPhwdVn5Vg/QzPv5lE7pHUOm7m5AnWKIxNMhoe14kJvXFfYY5xiCHKVUDpYPHhJY8TSEgazmvl0oJqen4yXgKnWgADAKBggqhkjOPQQDAgNHADBEAiAUm4OFqJ7nws0bBsAEo1UWSk5959IlgiurlfpxDxn+gAIgfCemeSl6k8kBgSy/phJ7mETAf5hPeFxQuWJHStdLRL8=";
const P384_REQUEST: &str = "MIH2MH8CAQAwADB2MBAGByqGSM49AgEGBSuBBAAiA2IABOyDYonno/6Y9xB/qqnpum5QwNfZCVXNpWBnZMwL54nj6HZxewFybbQ92HFbhm4vtUOPz5ale80bGCi6tWzh0BvfNirsT7fKfFIFypuzMybr4ac0s85XVQH+F3UG8YslcqAAMAoGCCqGSM49BAMCA2cAMGQCMAp3t4dkBfOccHvEbD0+9iUHs2PV74Obq6ZZ7QPVeKQ2/DMCZ/mu0SW86dKQPEUG7QIwQ1zTjnJf4TRxzOBvEVesZUK4SuiKovQIoKAKP8uZMwwIjoeXTl//BWlMq43/Kpxf";
const P521_REQUEST: &str = "MIIBQzCBpQIBADAAMIGbMBAGByqGSM49AgEGBSuBBAAjA4GGAAQBoLsiZsptPZTkzbVL/+z/VhoTYcIaTkXMG/tVgYrCG4dzWzdazSbJjlsv4XthdqgIcsAw7Mcz6pOmLuQuWaimMhIBtIOFY8bYm2+P1tSyZA338ld3jPg/sL63Ub3oPKdUHWRfNl6I3XmYuec2Ag3zpkIhUhLB1CCoqz5laEFW9y7ZSh2gADAKBggqhkjOPQQDAgOBjAAwgYgCQgHkecV05E194Q5zKzcdLfe6Kj+fTloiOKS116JbT07t1Je7GeAECnCmtYvZBMwWYfH2gvDph9qhaIzBWBuyI4bfvAJCAQWY5qluOFTB/Rgb8SXb7ca2UTFAz1AX+RLEAkJt6QWQC5lJvOFDo3eDvIeH3Gxa3Cn866D+qUH+Z/eRY3jNJ6yl";
const ED25519_PROOF: &str = "mJaGbabYb/nOK+V1srmXymlv/B9eqqFLVkk9Ce8o1nWYncYSFJSk//zNBpnB+ya5YSy7JLRsJxKXwh3P6DKZBA==";
const P256_PROOF: &str =
    "MEUCIQC23bUYs+oTxypRQTbYpxH+WDB604zjfJFm2Q+oeblxkgIgFkcnc6upu64gHiG+kBTsR7iCTZwr7YqHFpzjLHFsmxw=";
const P384_PROOF: &str = "MGYCMQDQUO0udjgcmToxIxhQB8JTuUYhGwnd2CX7PY2/qkI/ISolGZNR/IXlGXEDSd6x7iICMQDisImny0EefeNkrW5h5cuUpLr28WFDMSTaz156njToGr1jheDuGghxparZbnsPz84=";
const P521_PROOF: &str = "MIGHAkIAkde9v5fWrI9wJwQTlHcxisEnK2qHOKKSx2sR4V8/QheeoRE8gm0LW5+mxCEU6DYGRbRO3T0nq2hyEe7AvYmM23ACQU0hG+CBd91dP359OT2n1EIXSS+f/47bw0ZUVJ1Z3dJJlJtFnUwtWazPajj7Bgo8ZnJnCW1to7r8gMRRkoiEMS6k";
/// As Go signs; as most others do; without any salt; by the older scheme.
const RSA_LONGEST: &str = "Ifzg4EhTWXTH/TxrNKRyJubFW/QX/9EMmSJT+9xDDniIEXcRYkNd1/EUBtg6vnaALqq07YI40Y5g0OIRu8+/eXWSFlRYNmrcdvZRy7pwjJCPMiesfZ7u5DVogIxFkZmeNvAZXIzP9k+lJY05VieGHXTxw+GviK21BUMaW4PpOItLGhCq1/qWzmM2oNKAjKDKFMy7e4ZsFFeHKMEcVAGA+MsdWM8eF7OCUnvdFVTEidBUCuulSFXNNr9L44K0KwFZH4twzZRa154VIFMK13pjphl1QO5NLFv9fjHp7p53LU4agXlTOISwXrui6exM7ihlNKsAHA/v8lfmS+Cnyx585nHU+wqWt+MNG3d80tkTVI6GSLCArXlKMzeSojfOOlYJDnPUqnUcKv5UVJG8lY35MGMYkKN6yX23rXGLJFm0uPbBGMDcRd8eXwpZ/t9VSFNT4NrBwnAS/736A0TO7uVrBA/UtP03173sTwA0DljAVod1bGgKTJfkU/kz2XbYN94z";
const RSA_HASH: &str = "W6yM293dUE8E/jqvczmQzurHAOYuEYiJ6xeaxYJqIQ/6icTxR9B4fK8L3knF17dYwsN954cYRoNLLLldsTGZYShUUQe7A47FYrvZuMehdMey6wIZDvJnLnPnQVuPlQYgzBOIIPREB+xcShGjyOIVQASvK7RjjLOnFqoseoim4hVzNYu9yOWiOh+YBIZp6Q2KW1yLUCeDMfmy+Q0UUln22kA3YlHJfBQcz6A8PnZjzuxVdYCosiq0ANelx+9UgFzjBxA1tPwOSoHMAW2aOs+RzRR8J24jS430O5AaJwn7H2kzNUHl6PloraQzsnl48ly62f4HSVZyeYPtwrXUjKsyCXxGzUf0fsbzGe14DkfZaoWXXWe9n1KpENg4IdySx82Urp7gCbG99YLjajjMaUWvDiIVCq9hpwH1ecUGjACEXYp3pgs0xskLY7SkGYcEXedKR+xSPHqlvW3BQ1fpa9mc5rcKsXAtDKKNmRka3vvctzFG7+AtqZe5j/qAI432pDKq";
const RSA_NONE: &str = "TEoVXgilI7xjJLy4Pr4/oUMQBdxWqbybYITPtIejI5Vu+Pq5PK16iMBxGZh7o/bXAGx3OugO/sPKJDa/s/JWLBUkASKfJSC1CQNcCSAtWhIV1xsbdvDiejQgYK810yvLIOLMWd9IEFOQP4yVUmafarTiUNwzUM9rqGPOe3Mtz9uPoLEhz6L1dxlc5Gkl2i5QJwyF3Rn3brLfCZin5UCurzb0R+S456dqwEVesj54b/BnDoS2oWNFFPNU1mZkn1xlAUe1ZCD2XVTmrMuGkHzQMJUfdYzhKhpkB6iPhlk2GarS01FtNrz2gr6bCoNtp+mj7oxbDrAbn6GdZ1T93Go8q2PT0dwX2Et5OkmHqi4VnPMaI/4vnyT7FDKb+nWNQmCsok88RGX0IsVBCuoNoH7KbbYlIIQNgLtoKgLAVsDudiwHrmP+h4D7meHqSzV0pMw7q4J78NS1ES7ljW8YTNvgsEEGEaoCmDi0bLjDquMIDSkZBElM6Ss6IDU1lGjmsY1A";
const RSA_PKCS1: &str = "m/861Il8z4ycE0QsvaBYf7faGYyLzZszzYCGwHOVBSp5y00IU0STcCKYI51boNzPdsvuq7MmHRt5rhWJXRua3Gchqy2BwH8DSqhCRB89dOXpaKR2RWxC1o5cT/+1deDxKDhOI6RJlZWhIGCWQmjZGfJsvVvdcl/YbYwU3es3jAJWoEmyJIIrgSwXiG8XLsaPlcM71GPpqJraaeVXwloF5uyYa5tqnbjgpNK0ghVQ4lm9JcTOup/IDLSLnkvRQH+h6/Z7a7JPk9fotbX+KxPXxJ2yEU84R06p/DhZp6RUF5ZGSK5ElgozeVBZtCDUXJjAk8o2NSoSLEm5GC1pdQVlXHrqbW4y+wQcWeCm4L0iy1OfPrqxLDMJpi9cx07/uXnjPq8qXCqqAipolIzOV6YNZ6Es2YjM8xgX2oeHWfeEO7StubjmxqLPFh2wwJ7UHILHkxT0zk3WeNMBPjDX3RcFhbiIqGxCwtX+sL02JrW0KE2A1oC3dLP+L4OGuV0CVJPh";

#[track_caller]
fn check(spec: Value, expected: &str) {
    assert_eq!(fault(&spec).map(|fault| fault.to_string()).unwrap_or_default(), expected);
}

fn proof(uid: &str, key: &str, proof: &str) -> Value {
    json!({"podUID": uid, "pkixPublicKey": key, "proofOfPossession": proof})
}

/// The same with one bit changed in the middle.
fn forged(encoded: &str) -> String {
    let mut bytes = STANDARD.decode(encoded).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    STANDARD.encode(bytes)
}

#[test]
fn whoever_holds_the_key_shows_it_by_signing_the_pods_uid() {
    for (key, signature) in [
        (ED25519_KEY, ED25519_PROOF),
        (P256_KEY, P256_PROOF),
        (P384_KEY, P384_PROOF),
        (RSA_KEY, RSA_LONGEST),
        (RSA_KEY, RSA_HASH),
        (RSA_KEY, RSA_NONE),
    ] {
        check(proof("pod-uid", key, signature), "");
        const WRONG: &str = "spec.proofOfPossession: Invalid value: could not verify proof-of-possession signature";
        check(proof("other", key, signature), WRONG);
        check(proof("pod-uid", key, &forged(signature)), WRONG);
        check(proof("pod-uid", key, ""), WRONG);
    }
    const WRONG: &str = "spec.proofOfPossession: Invalid value: could not verify proof-of-possession signature";
    check(proof("pod-uid", RSA_KEY, RSA_PKCS1), WRONG);
    check(proof("pod-uid", ED25519_KEY, P256_PROOF), WRONG);
}

#[test]
fn keys_of_other_kinds_are_refused() {
    let unreadable = "spec.pkixPublicKey: Invalid value: must be a valid PKIX-serialized public key";
    check(proof("pod-uid", "MAA=", ""), unreadable);
    check(proof("pod-uid", P256_REQUEST, ""), unreadable);
    check(
        proof("pod-uid", RSA_2048_KEY, ""),
        "spec.pkixPublicKey: Invalid value: \"2048-bit modulus\": RSA keys must have modulus size 3072 or 4096",
    );
    check(
        proof("pod-uid", P224_KEY, ""),
        "spec.pkixPublicKey: Invalid value: elliptic public keys must use curve P256 or P384",
    );
    check(
        proof("pod-uid", P521_KEY, P521_PROOF),
        "spec.pkixPublicKey: Invalid value: \"curve P-521\": this server cannot verify signatures of this curve: elliptic public keys must use curve P256 or P384",
    );
    // As Ed25519, with the number of X25519.
    let other = ED25519_KEY.replace("K2Vw", "K2Vu");
    check(
        proof("pod-uid", &other, ED25519_PROOF),
        "spec.pkixPublicKey: Invalid value: unknown public key type; supported types are Ed25519, ECDSA, and RSA",
    );
    // What is told by the other checks.
    check(proof("pod-uid", "AAAA", ""), "");
    check(json!({}), "");
}

#[test]
fn a_request_is_signed_by_its_own_key() {
    let request = |text: &str| json!({"podUID": "pod-uid", "stubPKCS10Request": text});
    for own in [ED25519_REQUEST, P256_REQUEST, P384_REQUEST, RSA_REQUEST] {
        check(request(own), "");
        let mut bytes = STANDARD.decode(own).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        check(
            request(&STANDARD.encode(bytes)),
            "spec.stubPKCS10Request: Invalid value: could not verify the signature of the certificate request",
        );
    }
    check(request("MAA="), "spec.stubPKCS10Request: Invalid value: must be a valid PKCS#10 CSR");
    check(request(P256_KEY), "spec.stubPKCS10Request: Invalid value: must be a valid PKCS#10 CSR");
    check(
        request(RSA_2048_REQUEST),
        "spec.stubPKCS10Request: Invalid value: \"2048-bit modulus\": RSA keys must have modulus size 3072 or 4096",
    );
    assert!(fault(&request(P521_REQUEST)).is_some_and(|fault| fault.to_string().contains("curve P-521")));
}
